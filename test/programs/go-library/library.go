// SPDX-License-Identifier: Apache-2.0

// Go as a library of a C program (host/host.c).
package main

import "C"

import (
	"runtime"
	"strconv"
	"strings"
)

var sink uint64

//go:noinline
func goSpin(rounds int) {
	x := uint64(rounds)
	for i := 0; i < rounds; i++ {
		x = x*6364136223846793005 + uint64(i)
	}
	sink += x
}

func goroutine() C.long {
	text := make([]byte, 64)
	id, _ := strconv.Atoi(strings.Fields(string(text[:runtime.Stack(text, false)]))[1])
	return C.long(id)
}

// Work spends time in a call from C; the result is its goroutine.
//
//export Work
func Work(rounds C.long) C.long {
	goSpin(int(rounds))
	return goroutine()
}

//go:noinline
func inBackground(rounds int, done chan C.long) {
	goSpin(rounds)
	done <- goroutine()
}

// Background spends time in a goroutine of its own.
//
//export Background
func Background(rounds C.long) C.long {
	done := make(chan C.long)
	go inBackground(int(rounds), done)
	return <-done
}

func main() {}
