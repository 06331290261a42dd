//go:build cgo
// +build cgo

package main

// static volatile unsigned long sum;
// static void compute(int rounds) { for (int i = 0; i < rounds; i++) sum += i; }
import "C"

func inC() { C.compute(8000) }
