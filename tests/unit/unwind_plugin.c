/* unwind_plugin.c - a library to load and unload; built twice, with different code at the same places. */
void plugin_call(void (*end)(void));

#if PLUGIN == 1
#define ROOM 40
#else
#define ROOM 88
#endif

__attribute__((visibility("default"))) void
plugin_call(void (*end)(void))
{
	volatile char room[ROOM];

	room[0] = 1;
	end();
	room[ROOM - 1] = room[0];
}
