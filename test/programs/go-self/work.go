package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
)

type shape interface{ area() float64 }
type square struct{ side float64 }

func (s square) area() float64 { return s.side * s.side }

type node struct {
	left, right *node
	value       [6]int
}

//go:noinline
func tree(depth int) *node {
	if depth == 0 {
		return nil
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

//go:noinline
func deep(depth int) int {
	var room [300]int
	if depth == 0 {
		return 1
	}
	room[depth%300] = depth
	return deep(depth-1) + room[depth%300]
}

//go:noinline
func big(x int) (sum int) {
	var block [40000]byte
	copy(block[x:], block[:2000])
	return int(block[x])
}

//go:noinline
func recovers() (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	var list []int
	return fmt.Sprint(list[len(os.Args)+3])
}

func generic[T any](list []T, f func(T) T) []T {
	for i := range list {
		list[i] = f(list[i])
	}
	return list
}

var sink any

// foreign calls into C and back, in a build with cgo.
var foreign = func() {}

// begin is where a stepper starts.
//
//go:noinline
func begin() {}

// finish is where a stepper stops.
//
//go:noinline
func finish() {}

func init() { runtime.LockOSThread() }

func work() {
	begin()
	foreign() // first: its callbacks make the small stack grow and move under the C frames
	words := strings.Fields(strings.Repeat("the quick brown fox ", 4))
	sort.Strings(words)
	counts := map[string]int{}
	for _, word := range words {
		counts[word]++
	}
	sink = shape(square{float64(len(counts))})
	sink = sink.(shape).area()
	sink = generic([]int{1, 2, 3}, func(x int) int { return x * 2 })
	sink = recovers()
	sink = tree(4)
	sink = deep(20) + big(7)
	sum := sha256.Sum256([]byte(words[0]))
	sink = fmt.Sprintf("%x %v", sum, time.Now().UnixNano() > 0)
	var once sync.Once
	once.Do(func() { sink = make([]byte, 70000) })
	file, err := os.Open("/proc/self/status")
	if err == nil {
		buffer := make([]byte, 100)
		file.Read(buffer)
		file.Close()
	}
	runtime.GC()
	results := make(chan int)
	go func() { results <- deep(3) }()
	sink = <-results
	sink = tree(3)
	finish()
	fmt.Println("done")
}
