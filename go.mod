module silod

go 1.26
