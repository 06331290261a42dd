//go:build cgo
// +build cgo

package main

/*
static int plus(int a, int b) { return a + b; }
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
)

func foreign() { fmt.Println(C.plus(1, 2)) }

// run is main for a C program that has this as its library.
//
//export goChains
func goChains(arguments *C.char) {
	chains(os.Stdout, strings.Fields(C.GoString(arguments)))
}
