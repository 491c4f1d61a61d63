/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the file that it is given, and nothing else; ends with the errno of a failure. */
#include <errno.h>
#include <fcntl.h>

int main(int argc, char **argv)
{
	return argc > 1 && open(argv[1], O_RDONLY) >= 0 ? 0 : errno;
}
