// Package gateways runs real proxies with the configurations in config/gateways, if they are installed, and compares
// what clients and content servers see.
package gateways
