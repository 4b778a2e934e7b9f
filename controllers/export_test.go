package controllers

// StatusWrites is how many times a second usage is written.
const StatusWrites = statusWrites
