/* Threads that leave a zombie each, and block at a random place of a random chain of calls. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

/* How far a thread has come. */
struct at {
	unsigned seed;
	int depth;
};

extern int (*const functions[])(struct at *);
extern const int how_many;

/* For callbacks that get no argument. */
static __thread struct at *current;

NOINLINE void use(void *room)
{
	__asm__ volatile("" : : "r"(room) : "memory");
}

NOINLINE int pick(struct at *at, int below)
{
	at->seed = at->seed * 1103515245u + 12345u;
	return (at->seed >> 16) % below;
}

static int pipes[2];
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

NOINLINE int block(struct at *at)
{
	struct timespec hour = { 3600, 0 };
	struct timeval also = { 3600, 0 };
	char byte;
	int how = pick(at, 7);
	prctl(PR_SET_NAME, "blocks");
	switch (how) {
	case 0:
		nanosleep(&hour, 0);
		break;
	case 1:
		pause();
		break;
	case 2:
		read(pipes[0], &byte, 1);
		break;
	case 3:
		poll(0, 0, -1);
		break;
	case 4:
		sem_wait(&semaphore);
		break;
	case 5:
		pthread_mutex_lock(&mutex);
		pthread_cond_wait(&condition, &mutex);
		pthread_mutex_unlock(&mutex);
		break;
	default:
		select(0, 0, 0, 0, &also);
	}
	return pick(at, 2);
}

static void interrupt(int signal);

NOINLINE int next(struct at *at)
{
	if (at->depth == 0)
		return block(at) + 1;
	at->depth--;
	if (pick(at, 40) == 0) {
		current = at;
		return raise(SIGUSR1) + 1;
	}
	return functions[pick(at, how_many)](at) + 1;
}

static void interrupt(int signal)
{
	use(&signal);
	next(current);
	use(&signal);
}

static int compare(const void *one, const void *other)
{
	return next(current) + (one < other);
}

static inline __attribute__((always_inline)) int inlined_further(struct at *at)
{
	int result = next(at);
	use(&result);
	return result;
}

static inline __attribute__((always_inline)) int inlined(struct at *at)
{
	int result = inlined_further(at);
	use(&result);
	return result;
}

/* Never comes back. */
NOINLINE __attribute__((noreturn)) void leave(struct at *at)
{
	for (;;)
		next(at);
}

static void *run(void *argument)
{
	struct at at;
	at.seed = (uintptr_t)argument;
	at.depth = pick(&at, 24);
	if (fork() == 0)
		_exit(0);
	next(&at);
	return 0;
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[1]);
	unsigned seed = strtoul(argv[2], 0, 10);
	pthread_t last;
	pipe(pipes);
	sem_init(&semaphore, 0, 0);
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_NODEFER };
	sigaction(SIGUSR1, &action, 0);
	for (int i = 0; i < threads; i++)
		pthread_create(&last, 0, run, (void *)(uintptr_t)(seed + i * 2654435761u));
	prctl(PR_SET_NAME, "blocks");
	pthread_join(last, 0);
	return 0;
}
