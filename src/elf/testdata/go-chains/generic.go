//go:build go1.18
// +build go1.18

package main

import "fmt"

type pair[K comparable, V any] struct {
	key   K
	value V
}

func (p pair[K, V]) swap(other V) pair[K, V] { return pair[K, V]{p.key, pick(other, p.value)} }

func pick[T any](a, b T) T {
	if fmt.Sprint(a) < fmt.Sprint(b) {
		return a
	}
	return b
}

//go:noinline
func each[T any, R any](list []T, f func(T) R) (all []R) {
	for _, item := range list {
		all = append(all, func() R { return f(item) }())
	}
	return all
}

func generics() {
	fmt.Println(each([]int{1, 2}, func(x int) string { return pick(fmt.Sprint(x), "1") }))
	fmt.Println(each([]string{"a"}, func(x string) pair[string, int] { return pair[string, int]{x, 1}.swap(2) }))
	p := pair[int, []byte]{1, nil}
	f := p.swap
	fmt.Println(f([]byte("x")))
}
