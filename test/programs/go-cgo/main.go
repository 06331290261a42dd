// SPDX-License-Identifier: Apache-2.0

// Calls between Go and C, in both directions and nested, and from threads that C
// has made. usage: go-cgo SECONDS REPORT; writes `NAME GOROUTINE` lines.
package main

/*
#include <pthread.h>

extern void goLeaf(long rounds);
extern void goMiddle(long rounds, int depth);

__attribute__((noinline)) static unsigned long c_spin(long rounds) {
	volatile unsigned long x = rounds;
	for (long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ul + i;
	return x;
}

__attribute__((noinline)) static unsigned long c_leaf(long rounds) {
	return c_spin(rounds) + 1;
}

__attribute__((noinline)) static long c_outer(long rounds, int depth) {
	goMiddle(rounds, depth);
	return rounds + depth;
}

static void *thread_body(void *rounds) {
	for (long i = 0; i < (long)rounds; i++) {
		goLeaf(200000);
		c_leaf(200000);
	}
	return 0;
}

static void c_thread(long rounds) {
	pthread_t thread;
	pthread_create(&thread, 0, thread_body, (void *)rounds);
	pthread_join(thread, 0);
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

var sink uint64

func goroutine() string {
	text := make([]byte, 64)
	return strings.Fields(string(text[:runtime.Stack(text, false)]))[1]
}

//go:noinline
func goSpin(rounds int) uint64 {
	x := uint64(rounds)
	for i := 0; i < rounds; i++ {
		x = x*6364136223846793005 + uint64(i)
	}
	return x
}

//
//export goLeaf
//go:noinline
func goLeaf(rounds C.long) { sink += goSpin(int(rounds)) }

//export goMiddle
func goMiddle(rounds C.long, depth C.int) {
	if depth > 0 {
		C.c_outer(rounds, depth-1)
		return
	}
	sink += goSpin(int(rounds))
	block := make([]byte, 100000) // on the thread's own stack, from within a callback
	sink += uint64(block[5])
	C.c_leaf(rounds)
}

//go:noinline
func nested(end time.Time) {
	for time.Now().Before(end) {
		C.c_outer(100000, 2)
	}
}

//go:noinline
func plain(end time.Time) {
	for time.Now().Before(end) {
		C.c_leaf(100000)
	}
}

//go:noinline
func threads(end time.Time) {
	for time.Now().Before(end) {
		C.c_thread(100)
	}
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var group sync.WaitGroup
	group.Add(3)
	var ids [2]string
	go func() { defer group.Done(); ids[0] = goroutine(); nested(end) }()
	go func() { defer group.Done(); ids[1] = goroutine(); plain(end) }()
	go func() { defer group.Done(); threads(end) }()
	group.Wait()
	report := fmt.Sprintf("nested %s\nplain %s\n", ids[0], ids[1])
	if os.WriteFile(os.Args[2], []byte(report), 0o600) != nil {
		os.Exit(1)
	}
}
