package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestNoticeIsCurrent: NOTICE names everything that is linked, and nothing else.
func TestNoticeIsCurrent(t *testing.T) {
	want, err := write("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("NOTICE does not match what is linked: run make licenses, and review the changes")
	}
}

func TestLicensesOfUnknownKindAreRefused(t *testing.T) {
	for text, may := range map[string]bool{
		"Apache License\n   Version 2.0, January 2004":                  true,
		"Permission is hereby granted,\nfree of charge, to any person":  true,
		"GNU GENERAL PUBLIC LICENSE Version 3":                          false,
		"Mozilla Public License Version 2.0":                            false,
		"All rights reserved.":                                          false,
		"GNU AFFERO GENERAL PUBLIC LICENSE, which is no Apache License": false,
	} {
		_, err := render(map[part]bool{{module: "example.com/a", version: "v1.0.0", file: "LICENSE", text: text}: true})
		if (err == nil) != may || err != nil && !strings.Contains(err.Error(), "example.com/a v1.0.0") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
