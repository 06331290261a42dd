// SPDX-License-Identifier: Apache-2.0

// Known hot calls of every kind that Go's profile-guided optimisation knows:
// through interfaces, function values, methods and generic functions of other
// packages, in equal parts. One thread, no garbage: what the profile holds is
// these calls, and runtime/pprof and another profiler can agree on them.
// usage: go-pgo SECONDS [PROFILE [HZ]]
// Writes the CPU profile of its own runtime/pprof to PROFILE.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"syscall"

	"pgo/list"
	"pgo/shape"
	"pgo/table"
	"pgo/text"
)

const batch = 20

// Each part spends about as much time as the others.
func round(shapes []shape.Shape, words []byte, numbers []uint64, names *table.Table[uint64, uint64]) uint64 {
	sum := uint64(shape.Total(shapes, 24))
	sum += text.Count(words, text.IsVowel)
	sum += text.Fold(words, func(state, letter uint64) uint64 {
		return mix(state) ^ letter*0x9e3779b97f4a7c15
	})
	for i := range numbers {
		numbers[i] = numbers[i]*6364136223846793005 + sum
	}
	list.Sort(numbers, list.Less[uint64])
	sum += list.Reduce(numbers, 0, func(a, b uint64) uint64 {
		a = (a ^ b>>3) * 31
		a = (a ^ a>>17 ^ b) * 131
		return (a ^ a>>15 ^ b) * 1031
	})
	for _, number := range numbers {
		names.Put(number&1023, number)
		sum += names.Get(number >> 7 & 1023)
	}
	return sum
}

func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 29
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>32
}

// CPU time of the process in nanoseconds: work is measured in it, so that a busy machine changes nothing.
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
	runtime.GOMAXPROCS(1)
	limit := int64(argument(1, 2) * 1e9)
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
	shapes := shape.Some(350)
	words := text.Some(3000)
	numbers := make([]uint64, 1500)
	names := table.New[uint64, uint64](2048)
	sum := uint64(0)
	for cpuTime() < limit {
		for i := 0; i < batch; i++ {
			sum += round(shapes, words, numbers, names)
		}
	}
	fmt.Println(sum)
}
