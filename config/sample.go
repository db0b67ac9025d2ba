package config

import _ "embed" // for the sample

// The tests make silod.toml, and docs/configuration.md, of the comments and tags of the
// sections, and fail where they differ: "make docs" writes them anew.
//
//go:embed silod.toml
var sample string

// Sample is the default configuration with every key explained: each stands there with its
// default, commented out. It is a valid configuration file.
func Sample() string { return sample }
