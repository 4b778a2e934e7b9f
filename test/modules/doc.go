// Package modules tests what the modules of this repository have in common. It has no code of its own.
package modules
