// SPDX-License-Identifier: Apache-2.0

// Package table has methods of a generic type.
package table

type key interface{ ~uint32 | ~uint64 }

type slot[K key, V any] struct {
	key   K
	value V
	used  bool
}

// Table is a hash table with open addressing, as large as New made it.
type Table[K key, V any] struct {
	slots []slot[K, V]
}

// New table of a power of two slots.
func New[K key, V any](size int) *Table[K, V] {
	return &Table[K, V]{make([]slot[K, V], size)}
}

// Put a value in or replace it.
func (t *Table[K, V]) Put(key K, value V) {
	at := t.find(key)
	t.slots[at] = slot[K, V]{key, value, true}
}

// Get the value of a key, or the zero value.
func (t *Table[K, V]) Get(key K) V {
	return t.slots[t.find(key)].value
}

//go:noinline
func (t *Table[K, V]) find(key K) int {
	at := int(scramble(uint64(key))) & (len(t.slots) - 1)
	for t.slots[at].used && t.slots[at].key != key {
		at = (at + 1) & (len(t.slots) - 1)
	}
	return at
}

func scramble(x uint64) uint64 {
	for i := 0; i < 12; i++ {
		x = (x ^ x>>15) * 0x2127599bf4325c37
	}
	return x ^ x>>31
}
