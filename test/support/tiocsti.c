/* Types a line into the terminal at stdin, where the kernel lets it. */
#include <stdio.h>
#include <sys/ioctl.h>

int main(void) {
	for (const char *c = "typed from inside\n"; *c != 0; c++)
		if (ioctl(0, TIOCSTI, c) != 0) {
			perror("TIOCSTI");
			return 1;
		}
	return 0;
}
