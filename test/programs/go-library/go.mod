module go-library

go 1.17
