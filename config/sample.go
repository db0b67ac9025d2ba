package config

import _ "embed" // for the sample

// The tests generate silod.toml and docs/configuration.md from the comments and tags of
// the sections, and fail if the files differ: "make docs" rewrites them.
//
//go:embed silod.toml
var sample string

// Sample returns an annotated configuration file: each key has its description and is
// commented out with its default. The file is valid.
func Sample() string { return sample }
