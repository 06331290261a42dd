// Overlapping requests in thousands of goroutines. Request N, of at most 65,536, computes
// below digit functions that spell N, with the labels of its own span; each piece of work
// reads the clock of its thread. Arguments: seconds, path of the report; or `cases` and
// the path.
package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	digits = 4
	light  = 1500 // goroutines whose requests are short
	heavy  = 10   // requests that last as long as the program
	most   = 65536
)

// identity is what a request's labels say.
type identity struct {
	trace, span string // hexadecimal; no span = none of its labels is a span's
}

type request struct {
	number int
	style  int
	identity
	cpu int64 // nanoseconds in locked
}

var (
	sink     uint64
	kept     [16]*[512]byte
	requests [most]request
	next     int32 = -1
)

// spend computes, makes garbage and calls the runtime and, with cgo, C.
//
//go:noinline
func spend(n, rounds int) {
	x := uint64(n)
	for i := 0; i < rounds; i++ {
		for j := 0; j < 4000; j++ {
			x = x*6364136223846793005 + 1442695040888963407
		}
		block := new([512]byte)
		block[x%512] = 1
		kept[i%16] = block
		if i%4 == 0 {
			inC()
		}
	}
	atomic.AddUint64(&sink, x)
}

// locked keeps the goroutine on its thread, whose clock is then the goroutine's.
//
//go:noinline
func locked(r *request, rounds int) {
	runtime.LockOSThread()
	start := threadTime()
	spell(r.number, digits, rounds)
	atomic.AddInt64(&r.cpu, threadTime()-start)
	runtime.UnlockOSThread()
}

// free may change threads.
//
//go:noinline
func free(r *request, rounds int) { spell(r.number, digits, rounds) }

const threadClock = 3

func threadTime() int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

// serve is one request; between its pieces it sleeps, meets others and starts a goroutine.
func serve(number int, pieces, rounds int, pause time.Duration, until time.Time) {
	r := &requests[number]
	r.number = number
	r.style = number % styles
	ctx, end := begin(r)
	for i := 0; i < pieces && (i == 0 || time.Now().Before(until)); i++ {
		locked(r, rounds)
		if pause > 0 {
			time.Sleep(time.Duration(rand.Int63n(int64(pause))))
		} else {
			runtime.Gosched()
		}
		free(r, rounds/4)
		if i%2 == 0 {
			inner(ctx, r, func(context.Context) { locked(r, rounds) })
		}
		if i%4 == 1 {
			done := make(chan bool)
			go func() {
				locked(r, rounds)
				free(r, rounds/4)
				done <- true
			}()
			<-done
			locked(r, rounds)
		}
	}
	end()
	outside(rounds / 8)
}

// outside runs when the labels are gone.
//
//go:noinline
func outside(rounds int) { spend(0, rounds) }

func main() {
	if os.Args[1] == "cases" {
		cases(os.Args[2])
		return
	}
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	runtime.GOMAXPROCS(4)
	debug.SetGCPercent(20)
	// A profiler has to meet the program before it knows where to look.
	for warm := time.Now().Add(300 * time.Millisecond); time.Now().Before(warm); {
		outside(100)
	}
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var group sync.WaitGroup
	for i := 0; i < heavy; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			serve(int(atomic.AddInt32(&next, 1)), 1<<30, 1000, 0, until)
		}()
	}
	for i := 0; i < light; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(time.Duration(rand.Int63n(int64(200 * time.Millisecond))))
			for time.Now().Before(until) {
				number := int(atomic.AddInt32(&next, 1))
				if number >= most {
					return
				}
				serve(number, 3, 8, 800*time.Millisecond, until)
			}
		}()
	}
	group.Wait()
	report(os.Args[2])
}

// report writes a line per request: number, trace, span, nanoseconds.
func report(path string) {
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(file)
	for i := range requests[:min32(next+1, most)] {
		r := &requests[i]
		fmt.Fprintln(out, r.number, r.trace, r.span+"-", r.cpu)
	}
	out.Flush()
	file.Close()
}

func min32(a, b int32) int32 {
	if a < b {
		return a
	}
	return b
}
