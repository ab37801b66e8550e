/* main.c - dispatch, nothing else: daemon/cli has a file for every command. */
#include "cli.h"

int
main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
