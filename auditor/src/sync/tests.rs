mod leading;
mod working;
