/* A supervisor of short jobs, ten of which it starts each half second.
 *
 * When a job has ended, the supervisor writes an entry into its journal, and waits until the journal has
 * stored it, which takes 20 ms. With --thread, a thread of its own does that. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 12, JOBS = 10, STORE_MS = 20, ROUND_MS = 500 };

static int journal;
static int queue[2];
static int has_thread;

static void pause_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* The journal: a process of its own. It answers when an entry is stored. */
static void serve_journal(int client)
{
	pid_t entry;

	while (read(client, &entry, sizeof entry) == sizeof entry) {
		pause_ms(STORE_MS);
		if (write(client, &entry, sizeof entry) < 0)
			break;
	}
	_exit(0);
}

static void write_journal(pid_t job)
{
	if (write(journal, &job, sizeof job) < 0 || read(journal, &job, sizeof job) <= 0)
		exit(1);
}

static void *write_queue(void *unused)
{
	pid_t job;

	while (read(queue[0], &job, sizeof job) == sizeof job)
		write_journal(job);
	return unused;
}

static void job_ended(pid_t job)
{
	if (!has_thread)
		write_journal(job);
	else if (write(queue[1], &job, sizeof job) < 0)
		exit(1);
}

static void run_round(void)
{
	for (int job = 0; job < JOBS; job++) {
		if (fork() == 0) {
			close(journal);
			close(queue[1]);
			pause_ms(10);
			_exit(0);
		}
	}
	for (int job = 0; job < JOBS; job++)
		job_ended(wait(NULL));
}

int main(int argc, char **argv)
{
	int ends[2];
	pthread_t thread;

	has_thread = argc > 1 && strcmp(argv[1], "--thread") == 0;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || pipe(queue) < 0)
		return 1;
	if (fork() == 0) {
		close(ends[0]);
		close(queue[0]);
		close(queue[1]);
		serve_journal(ends[1]);
	}
	close(ends[1]);
	journal = ends[0];
	if (has_thread && pthread_create(&thread, NULL, write_queue, NULL) != 0)
		return 1;
	for (int round = 0; round < ROUNDS; round++) {
		run_round();
		pause_ms(ROUND_MS);
	}
	close(queue[1]);
	if (has_thread)
		pthread_join(thread, NULL);
	close(journal);
	wait(NULL);
	return 0;
}
