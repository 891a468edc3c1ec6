"""params.yaml as people work with it: the values in force, their documentation, profiles and recipes."""
