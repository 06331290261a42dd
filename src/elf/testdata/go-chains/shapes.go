package main

import (
	"fmt"
	"os"
)

type area interface{ area() float64 }
type named interface{ name() string }

type square struct{ side float64 }

func (s square) area() float64    { return scale(s.side) * s.side }
func (s *square) grow(by float64) { s.side = scale(s.side + by) }

// tile gets its methods from embedding: wrappers.
type tile struct {
	square
	named
}

type label string

func (l label) name() string { return string(l) + twice(string(l)) }

func scale(x float64) float64 { return clamp(x) * 2 }
func clamp(x float64) float64 {
	if x > 1e6 {
		return half(x)
	}
	return x
}
func half(x float64) float64   { return x / 2 }
func twice(text string) string { return text + text }

//go:noinline
func apply(f func(float64), x float64) { f(x) }

//go:noinline
func total(list []area) (sum float64) {
	defer fmt.Fprint(os.Stderr, "")
	for _, item := range list {
		sum += item.area()
	}
	return sum
}

func shapes() {
	s := &square{2}
	t := &tile{*s, label("t")}
	apply(s.grow, 1)
	apply(t.grow, 1)
	func() {
		defer s.grow(3)
		defer func() { recover() }()
		apply(func(x float64) { s.grow(scale(x)) }, 4)
	}()
	done := make(chan float64)
	go send(done, total([]area{s, t, *s, *t}))
	fmt.Println(<-done, t.name(), area(t).area(), named(t).name())
	equal := map[interface{}]int{*s: 1, [2]label{"a", "b"}: 2}
	fmt.Println(len(equal))
}

func send(to chan float64, x float64) { to <- clamp(x) }
