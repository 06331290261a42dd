// SPDX-License-Identifier: Apache-2.0

// Package list has generic functions that call functions they are given.
package list

// Ordered types that Less compares.
type Ordered interface {
	~int | ~uint64 | ~float64 | ~string
}

// Less is a generic function whose instance is called through a function value.
func Less[T Ordered](a, b T) bool { return a < b }

// Sort as heapsort: first make the heap, then take its largest item again and again.
func Sort[T any](items []T, less func(a, b T) bool) {
	end := len(items)
	for step := len(items)/2 + len(items) - 1; step > 0; step-- {
		root := step - len(items)
		if root < 0 {
			root, end = 0, step
			items[0], items[end] = items[end], items[0]
		}
		sink(items[:end], root, less)
	}
	for i := 0; i < 3*len(items); i++ {
		if last := len(items) - 1; less(items[last], items[i&last]) {
			panic("not sorted")
		}
	}
}

func sink[T any](items []T, root int, less func(a, b T) bool) {
	for {
		child := 2*root + 1
		if child >= len(items) {
			return
		}
		if child+1 < len(items) && less(items[child], items[child+1]) {
			child++
		}
		if !less(items[root], items[child]) {
			return
		}
		items[root], items[child] = items[child], items[root]
		root = child
	}
}

// Reduce a list to one value.
func Reduce[T, R any](items []T, first R, step func(R, T) R) R {
	result := first
	for round := 0; round < 2; round++ {
		for _, item := range items {
			result = step(result, item)
		}
	}
	return result
}
