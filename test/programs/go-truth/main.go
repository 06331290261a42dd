// SPDX-License-Identifier: Apache-2.0

// Stacks of every kind that Go's compiler makes, measured by Go's own profiler
// while another one looks on: recursion, generics, closures, method values,
// interfaces, promoted methods, deferred calls, calls inlined into each other,
// maps, sorting, encoding, garbage and system calls. Two goroutines.
// usage: go-truth SECONDS [PROFILE [HZ]]
// SECONDS of CPU time; writes the profile of its own runtime/pprof to PROFILE.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const letters = "the quick brown fox jumps over the lazy dog"

// Calls inlined into each other, three deep.
func rotate(x uint64, by int) uint64 { return x<<by | x>>(64-by) }

func stir(x uint64) uint64 {
	x = rotate(x, 13) * 0x9e3779b97f4a7c15
	return rotate(x, 29) ^ x
}

func churn(x uint64) uint64 {
	for i := 0; i < 40; i++ {
		x += stir(x)
	}
	return stir(x)
}

//go:noinline
func inlined(rounds int, x uint64) uint64 {
	for i := 0; i < rounds; i++ {
		x ^= churn(x + uint64(i))
	}
	return x
}

//go:noinline
func recurse(depth int, x uint64) uint64 {
	if depth == 0 {
		return inlined(12, x)
	}
	if depth%2 == 0 {
		return recurse(depth-1, x+1) + 1
	}
	return recurse(depth-1, x+2) + 2
}

// Generic functions, one inlined into the other, for two shapes of types.
type number interface{ ~int | ~uint64 | ~float64 }

func larger[T number](a, b T) T {
	if a > b {
		return a
	}
	return b
}

//go:noinline
func largest[T number](items []T) T {
	most := items[0]
	for round := 0; round < 20; round++ {
		for _, item := range items {
			most = larger(most-item/3, item)
		}
	}
	return most
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

//go:noinline
func (p *pair[K, V]) swap(keys map[K]V) int {
	count := 0
	for key, value := range keys {
		if key != p.key {
			p.key, p.value = key, value
			count++
		}
	}
	return count
}

// An interface with methods by value, by pointer and promoted from an embedded type.
type animal interface{ speak(times int) uint64 }

type dog struct{ voice uint64 }

//go:noinline
func (d dog) speak(times int) uint64 { return inlined(times, d.voice) }

type puppy struct{ *dog }

type cat struct{ lives []uint64 }

//go:noinline
func (c *cat) speak(times int) uint64 {
	sum := uint64(0)
	for i := 0; i < times*60; i++ {
		sum = stir(sum + c.lives[i%len(c.lives)])
	}
	return sum
}

//go:noinline
func chorus(animals []animal) uint64 {
	sum := uint64(0)
	for _, one := range animals {
		sum += one.speak(8)
	}
	return sum
}

//go:noinline
func deferred(x uint64) (result uint64) {
	defer func() {
		result = inlined(6, result)
	}()
	return x + 1
}

type counter struct{ total uint64 }

//go:noinline
func (c *counter) add(x uint64) { c.total += churn(x) }

//go:noinline
func each(times int, visit func(uint64)) {
	for i := 0; i < times; i++ {
		visit(uint64(i))
	}
}

type record struct {
	ID   int      `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

//go:noinline
func library(records []record) int {
	text, err := json.Marshal(records)
	if err != nil {
		panic(err)
	}
	words := strings.Fields(strings.Repeat(letters+" ", 8))
	sort.Slice(words, func(a, b int) bool { return words[a] < words[b] })
	sort.Strings(words)
	sum := len(text)
	for i := 0; i < 200; i++ {
		sum += len(strconv.Itoa(i*7919)) + len(fmt.Sprintf("%d-%s", i, words[i%len(words)]))
	}
	return sum
}

//go:noinline
func kernel(file *os.File, buffer []byte) {
	for i := 0; i < 4; i++ {
		if _, err := file.ReadAt(buffer, 0); err != nil {
			panic(err)
		}
	}
}

//go:noinline
func clock() int64 {
	sum := int64(0)
	for i := 0; i < 200; i++ {
		sum += time.Now().UnixNano()
	}
	return sum
}

func worker(until int64, group *sync.WaitGroup, seed uint64) {
	defer group.Done()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		panic(err)
	}
	defer zero.Close()
	buffer := make([]byte, 64<<10)
	records := make([]record, 20)
	for i := range records {
		records[i] = record{i, "record " + strconv.Itoa(i), strings.Fields(letters)}
	}
	ages := map[uint64]string{}
	for i := uint64(0); i < 300; i++ {
		ages[stir(i)] = letters
	}
	integers := make([]int, 150)
	fractions := make([]float64, 150)
	for i := range integers {
		integers[i], fractions[i] = i*7919%1000, float64(i)*0.37
	}
	animals := []animal{&dog{3}, puppy{&dog{4}}, &cat{[]uint64{1, 2, 3}}, dog{5}}
	x, sum := seed, 0
	for cpuTime() < until {
		x ^= recurse(24, x)
		sum += largest(integers) + int(largest(fractions))
		sum += (&pair[uint64, string]{}).swap(ages)
		x ^= chorus(animals)
		x ^= deferred(x)
		count := counter{x}
		each(15, count.add)
		each(15, func(y uint64) { x ^= churn(y) })
		sum += library(records)
		kernel(zero, buffer)
		sum += int(clock())
		x ^= count.total
	}
	if x == uint64(sum) {
		fmt.Println(x)
	}
}

// CPU time of the process in nanoseconds.
func cpuTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func argument(index int, otherwise float64) float64 {
	if len(os.Args) <= index {
		return otherwise
	}
	value, err := strconv.ParseFloat(os.Args[index], 64)
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	runtime.GOMAXPROCS(2)
	if len(os.Args) > 2 {
		file, err := os.Create(os.Args[2])
		if err != nil {
			panic(err)
		}
		// StartCPUProfile asks for 100 Hz, in vain when the rate is set: it prints a warning.
		runtime.SetCPUProfileRate(int(argument(3, 100)))
		if err := pprof.StartCPUProfile(file); err != nil {
			panic(err)
		}
		defer func() {
			pprof.StopCPUProfile()
			if err := file.Close(); err != nil {
				panic(err)
			}
		}()
	}
	until := int64(argument(1, 2) * 1e9)
	var group sync.WaitGroup
	group.Add(2)
	go worker(until, &group, 1)
	go worker(until, &group, 2)
	group.Wait()
}
