// Package garbage makes labels that no program could have, outside of the heap, where
// the collector does not look.
package garbage

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"unsafe"
)

//go:linkname setProfLabel runtime/pprof.runtime_setProfLabel
func setProfLabel(unsafe.Pointer)

// Set gives the goroutine labels at any address.
func Set(address uintptr) { setProfLabel(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }

// IsMap says whether labels are a map in this release.
func IsMap() bool { return runtime.Version() < "go1.24" }

const (
	page   = 4096
	kernel = 0xffff888000001000
	hole   = 0x10000
)

// area is memory that ends where nothing is mapped.
type area struct {
	bytes []byte
	used  int
}

func newArea() *area {
	bytes, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	if err := syscall.Mprotect(bytes[2*page:], syscall.PROT_NONE); err != nil {
		panic(err)
	}
	return &area{bytes: bytes}
}

// put stores words or text and returns their address.
func (a *area) put(words ...uint64) uint64 {
	at := a.used
	for i, word := range words {
		binary.LittleEndian.PutUint64(a.bytes[at+8*i:], word)
	}
	a.used += 8 * len(words)
	return a.address(at)
}

func (a *area) text(text string) uint64 {
	at := a.used
	copy(a.bytes[at:], text)
	a.used += (len(text) + 7) &^ 7
	return a.address(at)
}

func (a *area) address(at int) uint64 { return uint64(uintptr(unsafe.Pointer(&a.bytes[at]))) }

const id = "0123456789abcdef0123456789abcdef"

// All returns addresses of labels that cannot be, each with what is wrong with it.
func All() ([]string, []uintptr) {
	var names []string
	var addresses []uintptr
	add := func(name string, address uint64) {
		names = append(names, name)
		addresses = append(addresses, uintptr(address))
	}
	a := newArea()
	key, value := a.text("trace_id"), a.text(id)
	last := a.address(2*page - 32)
	add("nothing there", hole)
	add("the kernel's", kernel)
	add("not aligned", a.put(0, 0)+1)
	add("the end of memory", a.address(2*page-8))
	if IsMap() {
		// A bucket whose first slot is in use, and maps of it.
		bucket := func(overflow uint64, first ...uint64) uint64 {
			words := make([]uint64, 34)
			words[0] = 9
			words[1], words[2], words[17], words[18] = first[0], first[1], first[2], first[3]
			words[33] = overflow
			return a.put(words...)
		}
		labels := func(flags, shift byte, buckets, old uint64) uint64 {
			head := uint64(flags) | uint64(shift)<<8
			return a.put(a.put(1, head, buckets, old))
		}
		good := []uint64{key, 8, value, 32}
		add("being written", labels(4, 0, bucket(0, good...), 0))
		add("2^63 buckets", labels(0, 63, bucket(0, good...), 0))
		add("2^200 buckets", labels(0, 200, bucket(0, good...), 0))
		add("no buckets", labels(0, 0, 0, 0))
		add("buckets nowhere", labels(0, 0, hole, 0))
		add("buckets of the kernel", labels(0, 0, kernel, 0))
		add("a bucket at the end", labels(0, 0, last, 0))
		add("old buckets of one bucket", labels(0, 0, bucket(0, good...), bucket(0, good...)))
		loop := bucket(0, key, 8, value, 33)
		binary.LittleEndian.PutUint64(a.bytes[a.used-8:], loop)
		add("a bucket behind itself", labels(0, 0, loop, 0))
		add("key nowhere", labels(0, 0, bucket(0, hole, 8, value, 32), 0))
		add("value nowhere", labels(0, 0, bucket(0, key, 8, hole, 32), 0))
		add("value of the kernel", labels(0, 0, bucket(0, key, 8, kernel, 32), 0))
		add("key of 2^40 bytes", labels(0, 0, bucket(0, key, 1<<40, value, 32), 0))
		add("value of 2^31 bytes", labels(0, 0, bucket(0, key, 8, value, 1<<31), 0))
		add("value of -1 bytes", labels(0, 0, bucket(0, key, 8, value, ^uint64(0)), 0))
		add("map nowhere", a.put(hole))
		return names, addresses
	}
	slice := func(first, count, capacity uint64) uint64 { return a.put(first, count, capacity) }
	pair := func(words ...uint64) uint64 { return slice(a.put(words...), 1, 1) }
	good := a.put(key, 8, value, 32)
	add("longer than its room", slice(good, 2, 1))
	add("2^40 labels", slice(good, 1<<40, 1<<40))
	add("-1 labels", slice(good, ^uint64(0), ^uint64(0)))
	add("2^31 labels, and no more memory", slice(last, 1<<31, 1<<31))
	add("labels nowhere", slice(hole, 1, 1))
	add("labels of the kernel", slice(kernel, 1, 1))
	add("no address", slice(0, 1, 1))
	add("not aligned labels", slice(good+1, 1, 1))
	add("labels at the end", slice(a.address(2*page-8), 1, 1))
	add("key nowhere", pair(hole, 8, value, 32))
	add("key at the end", pair(a.address(2*page-4), 8, value, 32))
	add("value nowhere", pair(key, 8, hole, 32))
	add("value of the kernel", pair(key, 8, kernel, 32))
	add("value at the end", pair(key, 8, a.address(2*page-31), 32))
	add("key of 2^40 bytes", pair(key, 1<<40, value, 32))
	add("value of 2^31 bytes", pair(key, 8, value, 1<<31))
	add("value of -1 bytes", pair(key, 8, value, ^uint64(0)))
	return names, addresses
}
