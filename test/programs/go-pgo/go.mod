module pgo

go 1.23.0
