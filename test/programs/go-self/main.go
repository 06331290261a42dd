// go-self knows the truth about itself: `tables N SEED` prints what the Go
// runtime says about N random addresses of its own text, `layout` what DWARF says
// about the runtime's structures; without arguments it calls through every kind
// of frame that a single-stepper should meet.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"
)

type funcInfo struct{ f, datap unsafe.Pointer }

//go:linkname firstmoduledata runtime.firstmoduledata
var firstmoduledata [32]uintptr

//go:linkname findfunc runtime.findfunc
func findfunc(pc uintptr) funcInfo

// The third argument exists up to Go 1.22; later it is an unused register.
//
//go:linkname funcspdelta runtime.funcspdelta
func funcspdelta(f funcInfo, pc uintptr, cache unsafe.Pointer) int32

//go:linkname funcline1 runtime.funcline1
func funcline1(f funcInfo, pc uintptr, strict bool) (file string, line int32)

//go:linkname runtimeFrameStartLine runtime/pprof.runtime_FrameStartLine
func runtimeFrameStartLine(f *runtime.Frame) int

const (
	minpc = 20
	maxpc = 21
)

func tables(count int, seed uint64) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	low, high := firstmoduledata[minpc], firstmoduledata[maxpc]
	fmt.Fprintln(out, low, high)
	for i := 0; i < count; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
		pc := low + uintptr(seed>>20)%(high-low)
		if *(*byte)(unsafe.Pointer(pc)) == 0xcc {
			continue // padding: tables end before it, and older runtimes then panic
		}
		f := findfunc(pc)
		if f.f == nil {
			fmt.Fprintf(out, "%d\tnone\n", pc)
			continue
		}
		file, line := funcline1(f, pc, false)
		entry := runtime.FuncForPC(pc).Entry()
		frames := runtime.CallersFrames([]uintptr{entry + 1})
		frame, more := frames.Next()
		for more { // inlined calls come first
			frame, more = frames.Next()
		}
		fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%d\t%s\t%s\n", pc, funcspdelta(f, pc, nil), entry, line,
			runtimeFrameStartLine(&frame), file, frame.Function)
	}
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "tables" {
		count, _ := strconv.Atoi(os.Args[2])
		seed, _ := strconv.ParseUint(os.Args[3], 10, 64)
		tables(count, seed)
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "layout" {
		layout()
		return
	}
	work()
}
