/* waits CALL - says "ready" and blocks for some seconds in a system call, with a rounding mode and an errno of its own; then tells what
 * came back. */
#include <errno.h>
#include <fenv.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 4

static void
nothing(int number)
{
	(void)number;
}

static int
block(const char *call)
{
	struct timespec length = { .tv_sec = SECONDS }, end;
	struct timeval timeout = { .tv_sec = SECONDS };
	struct epoll_event event;
	sigset_t set;
	char byte;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += SECONDS;
	if (strcmp(call, "epoll_wait") == 0)
		return epoll_wait(epoll_create1(0), &event, 1, SECONDS * 1000);
	if (strcmp(call, "poll") == 0)
		return poll(NULL, 0, SECONDS * 1000);
	if (strcmp(call, "select") == 0)
		return select(0, NULL, NULL, NULL, &timeout);
	if (strcmp(call, "nanosleep") == 0)
		return nanosleep(&length, NULL);
	if (strcmp(call, "sigtimedwait") == 0) {
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		return sigtimedwait(&set, NULL, &length);
	}
	if (strcmp(call, "pause") == 0) {
		signal(SIGALRM, nothing);
		alarm(SECONDS);
		return pause();
	}
	if (strcmp(call, "accept") == 0) {
		int s = socket(AF_INET, SOCK_STREAM, 0);

		listen(s, 1);
		setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		return accept(s, NULL, NULL);
	}
	if (strcmp(call, "sem_timedwait") == 0) {
		sem_t semaphore;

		sem_init(&semaphore, 0, 0);
		return sem_timedwait(&semaphore, &end);
	}
	if (strcmp(call, "futex") == 0) {
		pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
		pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

		pthread_mutex_lock(&mutex);
		errno = pthread_cond_timedwait(&condition, &mutex, &end);
		return -1;
	}
	if (strcmp(call, "read") == 0) {
		int ends[2];

		if (pipe(ends) < 0 || fork() == 0) {
			sleep(SECONDS);
			_exit(0);
		}
		close(ends[1]);
		return (int)read(ends[0], &byte, 1);
	}
	exit(2);
}

int
main(int argc, char **argv)
{
	int result;

	if (argc != 2)
		return 2;
	fesetround(FE_UPWARD);
	printf("ready\n");
	fflush(stdout);
	errno = 4242;
	result = block(argv[1]);
	printf("%d, errno %d, rounding %s\n", result, errno, fegetround() == FE_UPWARD ? "upward" : "lost");
	return 0;
}
