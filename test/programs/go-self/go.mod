module flametap.test/goself

go 1.18
