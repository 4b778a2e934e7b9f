// Package monitoring tests config/monitoring: that what it asks for exists, that alerts fire when they should, and that each says what to do.
package monitoring
