/* A supervisor that leaves a zombie, and spends its time in three places. It prints how long, in ns, and how
   much of the last is CPU time. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static uint64_t now(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static volatile int lock = 1;
static volatile double sink;

NOINLINE void write_journal(long us)
{
	struct timespec time = { 0, us * 1000 };
	nanosleep(&time, 0); /* WRITES */
	sink += 1;
}

NOINLINE void take_lock(long us)
{
	struct timespec time = { 0, us * 1000 };
	syscall(SYS_futex, &lock, FUTEX_WAIT, 1, &time, 0, 0); /* LOCKS */
	sink += 1;
}

NOINLINE void compute(long us)
{
	/* CPU time, so that the share is the same on a busy machine. */
	uint64_t end = now(CLOCK_THREAD_CPUTIME_ID) + us * 1000;
	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		for (int i = 0; i < 2000; i++)
			sink += i;
	sink += 1;
}

static uint64_t spent[3], jobs;

NOINLINE void run_job(void)
{
	uint64_t start = now(CLOCK_MONOTONIC);
	write_journal(17000);
	uint64_t written = now(CLOCK_MONOTONIC);
	take_lock(11000);
	uint64_t locked = now(CLOCK_MONOTONIC);
	compute(7000);
	uint64_t computed = now(CLOCK_MONOTONIC);
	spent[0] += written - start;
	spent[1] += locked - written;
	spent[2] += computed - locked;
	jobs++;
}

NOINLINE void supervise(double seconds)
{
	if (fork() == 0)
		_exit(0);
	uint64_t end = now(CLOCK_MONOTONIC) + seconds * 1e9;
	while (now(CLOCK_MONOTONIC) < end)
		run_job();
}

static void *supervise_in_thread(void *seconds)
{
	supervise(*(double *)seconds);
	return 0;
}

static volatile int interrupted;

NOINLINE void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
	sleep(3);
	sink += 1;
}

NOINLINE void wait_in_handler(void)
{
	if (fork() == 0)
		_exit(0);
	signal(SIGALRM, interrupt);
	ualarm(1, 0);
	while (!interrupted)
		sink += 1;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "alone";
	double seconds = argc > 2 ? atof(argv[2]) : 5;
	if (!strcmp(how, "thread")) {
		pthread_t thread;
		pthread_create(&thread, 0, supervise_in_thread, &seconds);
		pthread_join(thread, 0);
	} else if (!strcmp(how, "handler")) {
		wait_in_handler();
	} else if (!strcmp(how, "deleted")) {
		unlink(argv[0]);
		supervise(seconds);
	} else {
		supervise(seconds);
	}
	printf("spent %llu %llu %llu %llu\n", (unsigned long long)spent[0],
	       (unsigned long long)spent[1], (unsigned long long)spent[2],
	       (unsigned long long)jobs * 7000000);
	fflush(stdout);
	if (strcmp(how, "gone"))
		wait(0);
	return 0;
}
