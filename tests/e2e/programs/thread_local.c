/* A library whose variable of each thread is made when the thread first touches it, by malloc. */
static __thread char room[5000];

void touch(void);
void
touch(void)
{
	room[sizeof(room) / 2]++;
}
