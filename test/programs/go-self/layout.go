package main

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
)

// layout prints the offsets of g.m, m.curg, m.g0, g.sched and gobuf.sp, .pc, .bp; then
// g.goid, g.atomicstatus, g.gopc, g.startpc, m.gsignal, m.isExtraInC and g.labels.
func layout() {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	data, err := file.DWARF()
	if err != nil {
		panic(err)
	}
	fmt.Println(offset(data, "runtime.g", "m"), offset(data, "runtime.m", "curg"),
		offset(data, "runtime.m", "g0"), offset(data, "runtime.g", "sched"),
		offset(data, "runtime.gobuf", "sp"), offset(data, "runtime.gobuf", "pc"),
		offset(data, "runtime.gobuf", "bp"),
		offset(data, "runtime.g", "goid"), offset(data, "runtime.g", "atomicstatus"),
		offset(data, "runtime.g", "gopc"), offset(data, "runtime.g", "startpc"),
		offset(data, "runtime.m", "gsignal"), offset(data, "runtime.m", "isExtraInC"),
		offset(data, "runtime.g", "labels"))
}

func offset(data *dwarf.Data, structure, field string) int64 {
	reader := data.Reader()
	for {
		entry, err := reader.Next()
		if err != nil || entry == nil {
			panic(structure)
		}
		if entry.Tag != dwarf.TagStructType || entry.Val(dwarf.AttrName) != structure {
			continue
		}
		kind, err := data.Type(entry.Offset)
		if err != nil {
			panic(err)
		}
		for _, f := range kind.(*dwarf.StructType).Field {
			if f.Name == field {
				return f.ByteOffset
			}
		}
		panic(field)
	}
}
