// SPDX-License-Identifier: Apache-2.0

// Package text has calls through function values: a named function and a closure.
package text

// Some letters, always the same.
func Some(count int) []byte {
	letters := make([]byte, count)
	state := uint32(7)
	for i := range letters {
		state = state*1664525 + 1013904223
		letters[i] = 'a' + byte(state>>24)%26
	}
	return letters
}

// IsVowel is called through a function value.
func IsVowel(letter byte) bool {
	for _, vowel := range [...]byte{'a', 'e', 'i', 'o', 'u'} {
		if letter == vowel {
			return true
		}
	}
	return false
}

// Count the letters that a function chooses.
func Count(letters []byte, chooses func(byte) bool) uint64 {
	count := uint64(0)
	for _, letter := range letters {
		if chooses(letter) {
			count++
		}
	}
	return count
}

// Fold all letters into one number.
func Fold(letters []byte, step func(state, letter uint64) uint64) uint64 {
	state := uint64(1)
	for _, letter := range letters {
		state = step(state, uint64(letter))
	}
	return state
}
