// go-chains asks its own runtime which functions, files and lines belong to
// addresses, inlined calls included: `go-chains ANCHOR COUNT SEED LOW HIGH` does
// so for COUNT random addresses of the file between LOW and HIGH; ANCHOR is the
// address of main.anchor in the file. What it imports is there to be asked about.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"text/template"
	_ "unsafe"
)

//go:linkname expandFinalInlineFrame runtime/pprof.runtime_expandFinalInlineFrame
func expandFinalInlineFrame(stack []uintptr) []uintptr

//go:noinline
func anchor() {}

func number(text string) uintptr {
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return uintptr(value)
}

// One line per address: the address in the file, then name, symbol name, file,
// line and start line (-1 when this release has none) of each function.
func chains(to io.Writer, arguments []string) {
	out := bufio.NewWriter(to)
	defer out.Flush()
	slide := reflect.ValueOf(anchor).Pointer() - number(arguments[0])
	count, seed := number(arguments[1]), number(arguments[2])
	low, high := number(arguments[3]), number(arguments[4])
	for i := uintptr(0); i < count; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
		address := low + (seed>>20)%(high-low)
		pc := address + slide
		fmt.Fprint(out, address)
		// CallersFrames gives the last byte of a function to the next one.
		f, next := runtime.FuncForPC(pc), runtime.FuncForPC(pc+1)
		if f != nil && next != nil && f.Entry() == next.Entry() {
			frames := runtime.CallersFrames(expandFinalInlineFrame([]uintptr{pc + 1}))
			for {
				frame, more := frames.Next()
				fmt.Fprintf(out, "\t%s\t%s\t%s\t%d\t%d", frame.Function, symbolName(&frame), frame.File, frame.Line, startLine(&frame))
				if !more {
					break
				}
			}
		}
		fmt.Fprintln(out)
	}
}

func main() {
	if len(os.Args) == 6 {
		chains(os.Stdout, os.Args[1:])
		return
	}
	shapes()
	foreign()
	generics()
	list := []int{3, 1, 2}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	text, _ := json.Marshal(map[string]interface{}{"list": list})
	fmt.Println(string(text), regexp.MustCompile(`\d+`).FindAllString(string(text), -1))
	template.Must(template.New("").Parse("{{.}}\n")).Execute(os.Stdout, strings.Repeat("x", 3))
}
