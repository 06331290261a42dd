//go:build !go1.21
// +build !go1.21

package main

import "runtime"

func startLine(*runtime.Frame) int       { return -1 }
func symbolName(f *runtime.Frame) string { return f.Function }
