module github.com/tokenwheel/tokenwheel/test/mutants

go 1.26.0
