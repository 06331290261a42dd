// SPDX-License-Identifier: Apache-2.0

// Package store keeps values by key in memory, in generic containers.
package store

import (
	"cmp"
	"sync"
)

// Store is a map for many goroutines.
type Store[K comparable, V any] struct {
	mutex  sync.RWMutex
	values map[K]V
}

// New empty store.
func New[K comparable, V any]() *Store[K, V] {
	return &Store[K, V]{values: make(map[K]V)}
}

// Put a value in.
func (s *Store[K, V]) Put(key K, value V) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.values[key] = value
}

// Each visits all values, in no order.
func (s *Store[K, V]) Each(visit func(K, V)) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	for key, value := range s.values {
		visit(key, value)
	}
}

// Best of a list that grows: the largest few by score.
type Best[T any, S cmp.Ordered] struct {
	limit  int
	items  []T
	scores []S
}

// NewBest keeps so many.
func NewBest[T any, S cmp.Ordered](limit int) *Best[T, S] {
	return &Best[T, S]{limit: limit}
}

// Offer an item; it stays while its score is among the best.
func (b *Best[T, S]) Offer(item T, score S) {
	if len(b.items) < b.limit {
		b.items, b.scores = append(b.items, item), append(b.scores, score)
		return
	}
	if worst := lowest(b.scores); less(b.scores[worst], score) {
		b.items[worst], b.scores[worst] = item, score
	}
}

// Items in no order.
func (b *Best[T, S]) Items() []T { return b.items }

func lowest[S cmp.Ordered](scores []S) int {
	at := 0
	for i := range scores {
		if less(scores[i], scores[at]) {
			at = i
		}
	}
	return at
}

func less[S cmp.Ordered](a, b S) bool { return a < b }
