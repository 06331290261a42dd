//go:build cgo

package main

/*
static int twice(int x);
extern int fromC(int);

static int __attribute__((noinline)) twice(int x) { return fromC(x) + fromC(x + 1); }
static int enter(int x) { return twice(x) + 1; }
*/
import "C"

//export fromC
func fromC(x C.int) C.int {
	if x > 2 {
		return C.enter(x - 2)
	}
	sink = tree(2)
	return C.int(len(stackOf(40)))
}

// stackOf needs a larger stack each time it is called with more.
//
//go:noinline
func stackOf(depth int) []byte {
	var room [400]byte
	if depth == 0 {
		return make([]byte, 5)
	}
	return append(stackOf(depth-1), room[depth])
}

func init() { foreign = func() { sink = C.enter(3) } }
