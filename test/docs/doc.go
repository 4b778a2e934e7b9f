// Package docs holds the documentation to the code: what a page names has to exist.
package docs
