// Package gateways runs real proxies with the configurations in config/gateways, where
// they are installed, and looks at what clients and content servers see.
package gateways
