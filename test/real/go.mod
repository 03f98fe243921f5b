module github.com/tokenwheel/tokenwheel/test/real

go 1.26.0

require github.com/tokenwheel/tokenwheel v0.0.0

replace github.com/tokenwheel/tokenwheel => ../..
