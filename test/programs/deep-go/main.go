// SPDX-License-Identifier: Apache-2.0

// Goroutines, deep recursion, maps, encoding and garbage.
// usage: deep-go [SECONDS=2 [DEPTH=40 [GOROUTINES=2]]]
// Chains: runtime.goexit, main.worker, main.recurse x DEPTH, main.leaf and
// runtime.goexit, main.worker, main.garbage, ...
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

//go:noinline
func leaf(x uint64) uint64 {
	for i := uint64(0); i < 2000; i++ {
		x = x*6364136223846793005 + i
	}
	return x
}

//go:noinline
func recurse(depth int, x uint64) uint64 {
	if depth <= 1 {
		return leaf(x) + 1
	}
	return recurse(depth-1, x^uint64(depth)) + 1
}

type item struct {
	ID   int               `json:"id"`
	Name string            `json:"name"`
	Tags map[string]string `json:"tags"`
}

//go:noinline
func garbage(n int) int {
	items := make([]item, 0, n)
	for i := 0; i < n; i++ {
		name := strconv.Itoa(i * 7919 % 1000)
		items = append(items, item{i, name, map[string]string{name: name + name}})
	}
	sort.Slice(items, func(a, b int) bool { return items[a].Name < items[b].Name })
	text, _ := json.Marshal(items)
	var back []item
	_ = json.Unmarshal(text, &back)
	return len(back)
}

//go:noinline
func worker(depth int, end time.Time, group *sync.WaitGroup) {
	defer group.Done()
	x := uint64(1)
	for time.Now().Before(end) {
		for i := 0; i < 200; i++ {
			x ^= recurse(depth, x)
		}
		x += uint64(garbage(60))
	}
	if x == 42 {
		fmt.Println(x)
	}
}

func number(index int, otherwise float64) float64 {
	if len(os.Args) > index {
		if value, err := strconv.ParseFloat(os.Args[index], 64); err == nil {
			return value
		}
	}
	return otherwise
}

func main() {
	end := time.Now().Add(time.Duration(number(1, 2) * float64(time.Second)))
	var group sync.WaitGroup
	for i := 0; i < int(number(3, 2)); i++ {
		group.Add(1)
		go worker(int(number(2, 40)), end, &group)
	}
	group.Wait()
}
