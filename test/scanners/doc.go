// Package scanners tests the rules that kubectl keyward leaks prints, with gitleaks itself.
package scanners
