module flametap.test/gochains

go 1.18
