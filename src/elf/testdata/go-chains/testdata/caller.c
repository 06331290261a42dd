// Hands its arguments to the Go library it is linked with.
#include <stdio.h>

extern void goChains(char *arguments);

int main(int count, char **arguments) {
	char joined[256];
	if (count != 6)
		return 1;
	snprintf(joined, sizeof(joined), "%s %s %s %s %s", arguments[1], arguments[2], arguments[3],
		 arguments[4], arguments[5]);
	goChains(joined);
	return 0;
}
