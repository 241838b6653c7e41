module github.com/varvekv/varve

go 1.26.0
