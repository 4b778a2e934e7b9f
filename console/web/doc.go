// Package web serves the console: it guards requests, parses forms, and asks a Desk for the pages.
package web
