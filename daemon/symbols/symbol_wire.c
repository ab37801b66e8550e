/* symbol_wire.c - whole messages over a stream socket, with deadlines and at most one file descriptor. Both sides. */
#include "symbol_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FDS_SEEN 8 /* room for more than is allowed, so that a surplus is received and closed, not leaked */

int64_t
wire_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
wait_for(int socket, short events, int64_t deadline_ms)
{
	struct pollfd p = { .fd = socket, .events = events };
	int n;

	do {
		int64_t left = -1;
		if (deadline_ms >= 0) {
			left = deadline_ms - wire_now_ms();
			if (left <= 0)
				return -ETIMEDOUT;
			if (left > 60000)
				left = 60000;
		}
		n = poll(&p, 1, (int)left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int
wire_send(int socket, const void *bytes, size_t size, int fd, int64_t deadline_ms)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	size_t sent = 0;

	while (sent < size) {
		struct iovec iov = { .iov_base = (char *)(uintptr_t)bytes + sent, .iov_len = size - sent };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;
		int r = wait_for(socket, POLLOUT, deadline_ms);

		if (r < 0)
			return r;
		if (fd >= 0 && sent == 0) {
			message.msg_control = control.room;
			message.msg_controllen = sizeof(control.room);
			control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
							   .cmsg_level = SOL_SOCKET,
							   .cmsg_type = SCM_RIGHTS };
			memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		}
		n = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (n > 0)
			sent += (size_t)n;
	}
	return 0;
}

/* Move the descriptors of one message to fds; returns how many fds holds now, or -EPROTO when there were too many. */
static int
take_fds(struct msghdr *message, int *fds, int n_fds)
{
	bool surplus = (message->msg_flags & MSG_CTRUNC) != 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (n_fds < 1) {
				fds[n_fds++] = fd;
			} else {
				close(fd);
				surplus = true;
			}
		}
	}
	return surplus ? -EPROTO : n_fds;
}

int
wire_receive(int socket, void *bytes, size_t size, int *ret_fd, int64_t deadline_ms)
{
	size_t received = 0;
	int fd = -1, n_fds = 0, r = 0;

	while (received < size) {
		union {
			struct cmsghdr header;
			char room[CMSG_SPACE(FDS_SEEN * sizeof(int))];
		} control;
		struct iovec iov = { .iov_base = (char *)bytes + received, .iov_len = size - received };
		struct msghdr message = { .msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = control.room,
					  .msg_controllen = sizeof(control.room) };
		ssize_t n;

		r = wait_for(socket, POLLIN, deadline_ms);
		if (r < 0)
			goto out;
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				continue;
			r = errno == ECONNRESET ? -EPIPE : -errno;
			goto out;
		}
		r = take_fds(&message, &fd, n_fds);
		if (r < 0)
			goto out;
		n_fds = r;
		if (n == 0) {
			r = -EPIPE;
			goto out;
		}
		received += (size_t)n;
	}
	r = n_fds > 0 && !ret_fd ? -EPROTO : 0;
out:
	if (r == 0 && ret_fd)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	return r;
}
